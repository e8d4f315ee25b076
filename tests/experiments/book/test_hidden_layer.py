"""What a hidden layer is for: the experiment records the test accuracy of its three networks."""


def test_it_records_every_epoch_of_every_network(small_run):
    run = small_run("book.hidden_layer")
    assert "30 hidden neurons gain" in run.stdout
    result = run.result("hidden_layer")
    assert (result["data"], result["examples"]) == ("tiny", 240)
    assert [len(values) for values in result["test_accuracy"].values()] == [2, 2, 2]
    assert list(result["test_accuracy"]) == ["no hidden layer", "30 hidden", "100 hidden"]
