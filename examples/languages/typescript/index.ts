import * as pulumi from "@pulumi/pulumi";
import * as inference from "gke-llm-inference";

const config = new pulumi.Config();

const stack = new inference.InferenceStack("chat", {
    cluster: { mode: "existing", kubeconfigContext: "local" },
    huggingFace: { tokenSource: "config" },
    huggingFaceToken: config.requireSecret("huggingFaceToken"),
    servers: {
        gemma: {
            server: "vllm",
            model: "google/gemma-7b-it",
            accelerator: { type: "nvidia-l4", count: 1 },
            maxModelLen: 4096,
        },
    },
});

export const servers = stack.servers;
