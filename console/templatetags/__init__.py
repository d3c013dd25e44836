"""What templates of the console format."""
