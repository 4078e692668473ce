"""Other job queues beside liteq, each by its own worker loop and by its fastest documented way: one file a peer."""
