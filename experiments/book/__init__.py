"""What Nielsen's *Neural Networks and Deep Learning* shows, on our data and from many seeds."""
