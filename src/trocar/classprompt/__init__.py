"""Class prompts (SurgicalSAM): from the name of a class to prompt embeddings, and to masks."""

from trocar.classprompt.class_model import ClassAnswers, ClassMasks, ClassModel, open_class_model, read_class_config
from trocar.classprompt.config import ClassPromptConfig
from trocar.classprompt.encoder import encoder_fingerprint
from trocar.classprompt.head import ClassPromptHead

__all__ = [
    "ClassAnswers",
    "ClassMasks",
    "ClassModel",
    "ClassPromptConfig",
    "ClassPromptHead",
    "encoder_fingerprint",
    "open_class_model",
    "read_class_config",
]
