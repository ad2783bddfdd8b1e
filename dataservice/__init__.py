"""Text on one side, versioned data sets over HTTP on the other."""
