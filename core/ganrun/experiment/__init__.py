"""What a recipe stands for, before anything is trained."""
