"""What is said of rendered stacks: whether two are the same, what differs, what they ask for, what a change puts at risk."""
