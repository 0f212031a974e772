"""Hardware behind contracts: boards that are read and controlled, devices that compute."""
