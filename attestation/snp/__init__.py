"""AMD SEV-SNP: what a report says (`abi`), whether it is genuine (`verify`), whether it is acceptable (`appraise`)."""
