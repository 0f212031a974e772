"""Results that are proven: checksums, votes, known answers: docs/protection.md."""
