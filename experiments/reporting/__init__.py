"""What people see: progress, summary, figures."""
