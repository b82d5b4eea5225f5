"""A run to the hub: all of it in one commit, so that what is there is the old model or the new one."""

from __future__ import annotations

from ganrun.inference.sharing import Shared
from ganrun.training.hub import endpoint, hub, split_name, told


def push(shared: Shared, name: str, *, private: bool = False) -> tuple[str, bool]:
    """Push a prepared folder to a model of the hub, which is made if it is not there.

    Returns the address of what is there now, and whether it was there already. Files of an earlier push that are not
    there any more are removed in the same commit; others in the model stay.

    Raises:
        UserError: for a name that the hub does not take, no token, no right to write, or no connection.
    """
    repo, _ = split_name(name)
    with told(repo, "pushing to"):
        client = hub()
        client.create_repo(repo, private=private, exist_ok=True)
        before = client.model_info(repo).sha
        commit = client.upload_folder(
            repo_id=repo,
            folder_path=shared.folder,
            commit_message=f"ganrun: step {shared.step}",
            delete_patterns=["checkpoints/*", "evaluations.jsonl", "sample.png"],
        )
    return f"{endpoint()}/{repo}", commit.oid == before
