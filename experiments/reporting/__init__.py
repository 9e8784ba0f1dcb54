"""What users see: progress, summary, verdict, figures."""
