"""TOUCH: the only subprocess, the only zmq, the only tinydb."""
