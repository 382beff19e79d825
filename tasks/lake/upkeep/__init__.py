"""What keeps a lake in order: the doctor, repairs, erasing, tidying up, and copies for other tools."""
