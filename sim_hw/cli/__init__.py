"""What the commands of `sim_hw` share."""
