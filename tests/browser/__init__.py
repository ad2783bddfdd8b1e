"""What a person sees and reaches, in a real browser."""
