"""The failover of LiteLLM's router, on the Lambda Runtime API: the model call of `invoke` alone, without its reads and writes.

The router has a deployment for each target of the event. Its retries, cool-downs and callbacks are off, and it goes to the next
deployment at once.
"""

import os

import handler

# Off before the import: it would load the prices of all models over the network.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

routers = {}


def router(targets):
    key = tuple((target["region"], target["model_id"]) for target in targets)
    if key not in routers:
        litellm.suppress_debug_info = True
        names = [f"target-{number}" for number in range(len(key))]
        routers[key] = litellm.Router(
            model_list=[deployment(name, *target) for name, target in zip(names, key)],
            fallbacks=[{names[0]: names[1:]}],
            num_retries=0,
            disable_cooldowns=True,
        )
    return routers[key]


def deployment(name, region, model):
    parameters = {
        "model": f"bedrock/converse/{model}",
        "aws_region_name": region,
        "aws_bedrock_runtime_endpoint": handler.MODELS.replace("{region}", region),
    }
    return {"model_name": name, "litellm_params": parameters}


def handle(event):
    messages = [{"role": "user", "content": "A breaker opens."}]
    chunks = router(event["next"]["targets"]).completion("target-0", messages, stream=True, max_tokens=400)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    if not text:
        raise RuntimeError("no target answered")
    return {"outcome": "answered", "status": "SUCCEEDED"}


if __name__ == "__main__":
    handler.main(handle)
