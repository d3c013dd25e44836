"""The loads: each sends provision requests over one transport and says what came back."""
