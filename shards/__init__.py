"""The contract between the data service and the trainer: sample, block, shard, manifest, order."""
