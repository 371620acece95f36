"""The parts of the train stage: rows and batches, the model, the loss, checkpoints, the loop."""
