"""The plots of learners, drawn in processes of their own: the user's code that loads one may never end."""
