// An OCI registry over plain HTTP, for images and other artifacts, with the API of referrers.
//
// The argument is the address to listen at, without a port. The first line of stdout is the address with the port that the
// registry has chosen. What was pushed is gone when the registry ends, and the registry ends with its stdin.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	listener, err := net.Listen("tcp", net.JoinHostPort(os.Args[1], "0"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(http.Serve(listener, registry.New(registry.WithReferrersSupport(true))))
}
