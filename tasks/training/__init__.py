"""What learns from texts for hours: masked language models, and the sentiment model this project ships."""
