"""An experiment: does an encoder of the events so far add to the in-play model? See `training/EXPERIMENTS.md`."""
