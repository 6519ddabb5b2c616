"""What a person does with a trained model: predict, watch, explain, export, demo."""
