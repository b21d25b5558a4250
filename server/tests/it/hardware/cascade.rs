//! BEY-01 for deletions.
