"""Golden values of BaCaDI: `python tests/methods/bacadi/golden/make_bacadi.py CHECKOUT OUTPUT`.

Runs one step of `BaCaDIJoint` of the reference (https://github.com/rmwu/bacadi, MIT; CHECKOUT is
the path of a clone) with its random numbers replaced by those of `golden_inputs`, and writes what
it computes to OUTPUT, one .npz for both likelihoods. Needs an environment of its own with jax,
numpy, scipy, igraph, tqdm, pandas and scikit-learn; the reference was written for jax 0.2.13, and
`shims` puts back what has left jax since. The test of the golden values makes the same inputs
again.
"""

from __future__ import annotations

import os
import sys
import tempfile
import types

import numpy as np

N, R, P, S, S_PRIOR, HIDDEN = 4, 3, 5, 7, 6, 5
ROWS = (6, 3, 2, 3)
STEP = 40


def golden_inputs(likelihood: str) -> dict[str, np.ndarray]:
    """Rows, particles, running squares and noise, from a generator whose stream numpy has frozen.

    Noise words w stand for uniform draws (w + 32768.5) / 65536.
    """
    rng = np.random.RandomState({"linear": 0, "fc": 1}[likelihood])
    x = {
        "rows": 0.4 * rng.standard_normal((sum(ROWS), N)),
        "z": 0.8 * rng.standard_normal((P, N, N, 2)),
        "means": 0.3 * rng.standard_normal((P, R, N)),
        "gamma": 1.5 * rng.standard_normal((P, R, N)),
        "graph_words": rng.randint(-32768, 32768, (N, N, P, S)).astype(np.int16),
        "target_words": rng.randint(-32768, 32768, (R, N, P, S)).astype(np.int16),
        "cycle_words": rng.randint(-32768, 32768, (P, S_PRIOR, N, N)).astype(np.int16),
        "sparsity_words": rng.randint(-32768, 32768, (R, N, P, S_PRIOR)).astype(np.int16),
    }
    if likelihood == "linear":
        return x | {"theta": 0.4 * rng.standard_normal((P, N, N))}
    shapes = {
        "w1": (P, N, N, HIDDEN),
        "b1": (P, N, HIDDEN),
        "w2": (P, N, HIDDEN, 1),
        "b2": (P, N, 1),
    }  # child first
    return x | {name: 0.5 * rng.standard_normal(shape) for name, shape in shapes.items()}


def shims() -> None:
    """Puts names of jax 0.2.13 into the installed jax, and stands in for modules that the reference
    imports without need."""
    import jax
    import jax.example_libraries.optimizers
    import jax.example_libraries.stax
    import jax.experimental

    class Index:
        def __getitem__(self, key):
            return key

    ops = sys.modules.setdefault("jax.ops", types.ModuleType("jax.ops"))
    ops.index = Index()
    ops.index_update = lambda x, at, y: x.at[at].set(y)
    ops.index_mul = lambda x, at, y: x.at[at].multiply(y)
    ops.index_add = lambda x, at, y: x.at[at].add(y)
    jax.ops = ops
    jax.tree_util.tree_multimap = jax.tree_util.tree_map
    for name in ("optimizers", "stax"):
        module = getattr(jax.example_libraries, name)
        setattr(jax.experimental, name, module)
        sys.modules[f"jax.experimental.{name}"] = module
    masking = types.ModuleType("jax.interpreters.masking")
    masking.ShapeError = TypeError
    sys.modules["jax.interpreters.masking"] = masking
    sampler = types.ModuleType("sergio.sergio_sampler")
    sampler.sergio_clean = None
    sys.modules["sergio"] = types.ModuleType("sergio")
    sys.modules["sergio.sergio_sampler"] = sampler


def import_reference(checkout: str):
    """The class `BaCaDIJoint`, imported in a scratch directory since the reference makes a folder
    where it is imported."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ["JAX_ENABLE_X64"] = "True"
    shims()
    sys.path.insert(0, os.path.abspath(checkout))
    here = os.getcwd()
    os.chdir(tempfile.mkdtemp())
    package = types.ModuleType(
        "bacadi.inference"
    )  # its __init__ also imports the variant that integrates theta out
    package.__path__ = [os.path.join(sys.path[0], "bacadi", "inference")]
    sys.modules["bacadi.inference"] = package
    try:
        from bacadi.inference.bacadi_joint import BaCaDIJoint
    finally:
        os.chdir(here)
    return BaCaDIJoint


def reference_model(
    joint, likelihood: str, *, n_steps: int = 2000, n_particles: int = 20, seed: int = 0, **changed
):
    """`BaCaDIJoint` with the settings of the reference's command line (eval/parser.py)."""
    import jax

    noise = dict(
        obs_noise=0.1,
        interv_mean=5.0,
        interv_noise=0.5,
        interv_prior_mean=0.0,
        interv_prior_std=10.0,
    )
    linear = dict(mean_edge=0.0, sig_edge=1.0, init_sig_edge=0.3)
    connected = dict(
        sig_param=1.0,
        init_sig_param=0.1,
        hidden_layers=(HIDDEN,),
        init="xavier_normal",
        activation="sigmoid",
    )
    settings = dict(
        random_state=jax.random.PRNGKey(seed),
        model_param=noise | (linear if likelihood == "linear" else connected),
        model_prior="lingauss" if likelihood == "linear" else "fcgauss",
        kernel="frob-joint-interv-add",
        graph_prior="er",
        edges_per_node=2,
        alpha_linear=0.01,
        beta_linear=1.0,
        lambda_regul=1,
        optimizer=dict(name="rmsprop", stepsize=0.005),
        n_steps=n_steps,
        n_particles=n_particles,
    )
    return joint(**(settings | changed))


class InjectedNoise:
    """In place of `jax.random`: a key is the number of a particle, and draws are looked up by their
    shape."""

    def __init__(self, x: dict[str, np.ndarray]) -> None:
        import jax
        import jax.numpy as jnp

        self.PRNGKey, self.normal = jax.random.PRNGKey, jax.random.normal
        uniform = lambda words: (words.astype(np.float64) + 32768.5) / 65536  # noqa: E731
        self._uniform = {
            (S, N, N): jnp.array(uniform(x["graph_words"]).transpose(2, 3, 0, 1)),
            (S, R, N): jnp.array(uniform(x["target_words"]).transpose(2, 3, 0, 1)),
            (S_PRIOR, N, N): jnp.array(uniform(x["cycle_words"])),
            (S_PRIOR, R, N): jnp.array(uniform(x["sparsity_words"]).transpose(2, 3, 0, 1)),
        }
        self._uniform[S, N * N] = self._uniform[S, N, N].reshape(P, S, N * N)

    def split(self, key, n: int = 2):
        return [key] * n

    def logistic(self, key, shape):
        import jax.numpy as jnp

        u = self._uniform[tuple(shape)][key]
        return jnp.log(u) - jnp.log1p(-u)

    def bernoulli(self, key, p, shape):
        return 1 - self._uniform[tuple(shape)][key] < p


def one_step(joint, likelihood: str) -> dict[str, np.ndarray]:
    """Log joint densities, gradients, kernel, and the particles after one step."""
    import jax.numpy as jnp
    from bacadi.eval.target import make_graph_model, make_inference_model, make_kernel
    from bacadi.inference import bacadi_base, bacadi_joint, dibs
    from jax.experimental import optimizers

    x = golden_inputs(likelihood)
    model = reference_model(
        joint,
        likelihood,
        n_particles=P,
        n_grad_mc_samples=S,
        n_acyclicity_mc_samples=S_PRIOR,
        gamma_prior_std=0.1**0.5,
    )
    model.data, model.envs = jnp.array(x["rows"]), jnp.array(np.repeat(range(R + 1), ROWS))
    model.n_vars, model.n_env = N, R + 1
    model.latent_prior_std = 1 / np.sqrt(N)
    model.graph_model = make_graph_model(graph_prior_str="er", n_vars=N, edges_per_node=2)
    model.inference_model = make_inference_model(
        inference_str=model.inference_prior, n_vars=N, **model.model_param
    )
    model.kernel_ = make_kernel(kernel=model.kernel, h_latent=5.0, h_theta=500.0, h_interv=5.0)
    z, gamma = jnp.array(x["z"]), jnp.array(x["gamma"])
    if likelihood == "linear":
        theta = [jnp.array(x["theta"]), jnp.array(x["means"])]
    else:
        w1, b1, w2, b2, means = (jnp.array(x[name]) for name in ("w1", "b1", "w2", "b2", "means"))
        theta = [(w1, b1), (), (w2, b2), means]
    names = ("theta", "means") if likelihood == "linear" else ("w1", "b1", "w2", "b2", "means")
    from jax import vmap
    from jax.tree_util import tree_leaves

    noise = InjectedNoise(x)
    for module in (bacadi_base, bacadi_joint, dibs):
        module.random = noise
    keys, t = jnp.arange(P), float(STEP)
    none = jnp.zeros(P)
    found = {}
    hard_graphs, hard_targets = (
        model.particle_to_g_lim(z),
        model.particle_to_interv_lim(gamma).astype(jnp.float64),
    )
    soft_graphs = model.edge_probs(z, t)
    soft_targets = model.interv_probs(gamma, t)
    joint_of = vmap(lambda g, th, i: model.target_log_joint_prob(g, th, i, None))
    found["log_joint_hard"] = joint_of(hard_graphs.astype(jnp.float64), theta, hard_targets)
    found["log_joint_soft"] = joint_of(soft_graphs, theta, soft_targets)
    by_theta = model.eltwise_grad_theta_likelihood(z, theta, gamma, t, keys)
    found |= {f"grad_{name}": leaf for name, leaf in zip(names, tree_leaves(by_theta), strict=True)}
    by_z = model.eltwise_grad_z_likelihood(z, theta, gamma, none, t, keys)[0]
    found["grad_z"] = by_z + model.eltwise_grad_latent_prior(z, keys, t)
    by_gamma = model.eltwise_grad_gamma_likelihood(z, theta, gamma, none, t, keys)[0]
    found["grad_gamma"] = by_gamma + model.eltwise_grad_gamma_prior(gamma, keys, t)
    found["kernel"] = model.f_kernel_mat(z, theta, gamma, z, theta, gamma, 5.0, 500.0, 5.0)
    parts = {"z": found["grad_z"], "theta": by_theta, "gamma": found["grad_gamma"]}
    for part, gradient in parts.items():
        update = getattr(model, f"parallel_update_{part}")
        phi = update(z, theta, gamma, found["kernel"], z, theta, gamma, gradient, 5.0, 500.0, 5.0)
        leaves = tree_leaves(phi)
        labels = names if part == "theta" else (part,)
        found |= {
            f"phi_{name}": -leaf for name, leaf in zip(labels, leaves, strict=True)
        }  # they descend
    start, update, value = optimizers.rmsprop(0.005)
    state = start(z)
    for _ in range(2):
        state = update(0, -found["phi_z"], state)
    found["z_after_two_steps"] = value(state)
    return {f"{likelihood}_{name}": np.asarray(array) for name, array in found.items()}


if __name__ == "__main__":
    reference = import_reference(sys.argv[1])
    np.savez_compressed(sys.argv[2], **one_step(reference, "linear"), **one_step(reference, "fc"))
