"""Physics shared by emulated boards: power, heat, memory traffic."""
