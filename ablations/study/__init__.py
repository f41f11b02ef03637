"""The search: Optuna's study, its trials and its report."""
