"""What a CronJob of ours is: its manifest, its marks, who owns what of it, and what a reconcile last saw. Pure."""
