"""What two stores have to agree in."""


def same(store):
    """What makes two runs the same: key, status, reason, scores."""
    return {
        r.key: (
            r.status,
            r.reason,
            store.scores(r.key)[""].tolist() if r.status == "ok" else None,
        )
        for r in store.jobs()
    }
