"""Files here are Prefect tasks; folders are plain Python that knows no Prefect."""
