package main

import (
	inference "example.com/pulumi-gke-llm-inference/sdk/go/gkellminference"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

func program(ctx *pulumi.Context) error {
	stack, err := inference.NewInferenceStack(ctx, "chat", &inference.InferenceStackArgs{
		Cluster: inference.ExistingCluster{
			Mode:              "existing",
			KubeconfigContext: pulumi.StringRef("local"),
		},
		HuggingFace:      inference.ConfigToken{TokenSource: "config"},
		HuggingFaceToken: config.RequireSecret(ctx, "huggingFaceToken"),
		Servers: map[string]interface{}{
			"gemma": inference.VllmSettings{
				Server: "vllm",
				Model:  "google/gemma-7b-it",
				Accelerator: &inference.ServerAccelerator{
					Type:  pulumi.StringRef("nvidia-l4"),
					Count: pulumi.IntRef(1),
				},
				MaxModelLen: pulumi.IntRef(4096),
			},
		},
	})
	if err != nil {
		return err
	}
	ctx.Export("servers", stack.Servers)
	return nil
}
