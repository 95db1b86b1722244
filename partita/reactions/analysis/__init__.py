"""What is known of a network without drawing a number: its rate equation, and the laws of its counts."""
