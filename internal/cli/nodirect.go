//go:build race || nodirect

package cli

import "github.com/poolrun/poolrun/pool"

// whyRuntime says nothing: there is no direct path.
const whyRuntime = ""

// adopt returns nil: there is no direct path. See direct_linux.go.
func adopt() (*pool.Pool, *pool.Lease) { return nil, nil }
