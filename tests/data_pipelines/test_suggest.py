from data_pipelines.suggest import nearest


def test_nearest() -> None:
    assert nearest("sgdd", ("sgd", "lars")) == "did you mean 'sgd'? known: sgd, lars"
    assert nearest("lr", iter(["momentum", "learning_rate"])).startswith("did you mean 'learning_r")
    assert nearest("xyz", ("sgd", "lars")) == "known: sgd, lars"
    assert nearest("x", ()) == "known: "
