"""The recurrent layers: a loop over time, and the cells RNN, LSTM and GRU."""
