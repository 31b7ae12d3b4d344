from .engine import Job, launch, plan, standings

__all__ = ["Job", "launch", "plan", "standings"]
