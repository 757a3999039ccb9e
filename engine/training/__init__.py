"""The trainer of the built-in model: data programs, teacher, distillation, evaluation. Never imported at run time."""
