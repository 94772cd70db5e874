"""Registration of the estimator ``ospo`` in verl: the entry point ``verl.plugins`` loads this module."""

from ospo_agents.integrations.verl import register_estimator

register_estimator()
