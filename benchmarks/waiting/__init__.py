"""What a job that waits costs a triggerer, beside other providers, bare loops and triggers that only sleep."""
