package gate_test

import (
	"context"
	"fmt"
	"log"

	"github.com/poolrun/poolrun/gate"
)

// At most two at a time; a C program that opens the same name counts too.
func Example() {
	s, err := gate.Create("/gate-example", 2, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	defer gate.Unlink("/gate-example")
	defer s.Close()

	if err := s.Wait(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Value())
	if err := s.Post(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Value())
	// Output:
	// 1 <nil>
	// 2 <nil>
}
