"""What a run is: protocols, configuration, the detectron2-based trainer, evaluation and the ``run.py`` command."""
