// Deploys the program beside it with the Automation API: the stack of a project's directory, its program inline.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"
)

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: %s PROJECT STACK", os.Args[0]))
	}
	ctx := context.Background()
	workspace, err := auto.NewLocalWorkspace(ctx, auto.WorkDir(os.Args[1]), auto.Program(program))
	if err != nil {
		fail(err)
	}
	stack, err := auto.SelectStack(ctx, os.Args[2], workspace)
	if err != nil {
		fail(err)
	}
	if _, err := stack.Up(ctx, optup.ProgressStreams(os.Stdout), optup.ErrorProgressStreams(os.Stderr)); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
