// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// Credentials of the S3 server.
const (
	AccessKey = "storetest-access"
	SecretKey = "storetest-secret-f81d4fae7dec"
)

// startTimeout bounds how long a server may take to answer.
const startTimeout = 30 * time.Second

// loopback is where servers listen that nobody else is to reach.
const loopback = "127.0.0.1"

// S3 starts an S3 server for one test and returns the URL of an empty bucket
// in it and the server's address. It sets the test's AWS credentials.
func S3(t testing.TB) (url, address string) {
	t.Helper()
	url, address = S3At(t, loopback)
	setenv(t, "AWS_ACCESS_KEY_ID", AccessKey)
	setenv(t, "AWS_SECRET_ACCESS_KEY", SecretKey)
	setenv(t, "AWS_EC2_METADATA_DISABLED", "true")
	return url, address
}

// S3At is S3 at an IP address of this machine, and leaves the environment as it is.
func S3At(t testing.TB, host string) (url, address string) {
	t.Helper()
	root := t.TempDir()
	data, sidecar := filepath.Join(root, "data"), filepath.Join(root, "metadata")
	for _, dir := range []string{data, sidecar, filepath.Join(data, "bucket")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	address = start(t, "versitygw", host, func(address string) []string {
		return []string{"--port", address, "--access", AccessKey, "--secret", SecretKey, "--quiet", "posix", "--sidecar", sidecar, data}
	})
	return S3URL("bucket", address), address
}

// S3URL returns the URL of a bucket of a server.
func S3URL(bucket, address string) string {
	return fmt.Sprintf("s3://%s?region=us-east-1&use_path_style=true&endpoint=http://%s", bucket, address)
}

// GCS starts a GCS server for one test and returns the URL of an empty bucket
// in it. It sets the test's STORAGE_EMULATOR_HOST.
func GCS(t testing.TB) (url, address string) {
	t.Helper()
	url, address = GCSAt(t, loopback)
	setenv(t, "STORAGE_EMULATOR_HOST", address)
	return url, address
}

// GCSAt is GCS at an IP address of this machine, and leaves the environment as it is.
func GCSAt(t testing.TB, host string) (url, address string) {
	t.Helper()
	// In memory it takes time in the square of the number of its objects.
	root := t.TempDir()
	address = start(t, "fake-gcs-server", host, func(address string) []string {
		host, port, _ := strings.Cut(address, ":")
		return []string{"-scheme", "http", "-host", host, "-port", port, "-backend", "filesystem", "-filesystem-root", root, "-log-level", "error",
			"-external-url", "http://" + address, "-public-host", address}
	})
	body := strings.NewReader(`{"name":"bucket"}`)
	resp, err := http.Post("http://"+address+"/storage/v1/b?project=test", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("make bucket: %s", resp.Status)
	}
	return "gs://bucket", address
}

// The account of the Azure server.
const (
	AzureAccount = "storetest"
	AzureKey     = "c3RvcmV0ZXN0LXNlY3JldC1mODFkNGZhZTdkZWMtMTFkMC1hNzY1LTAwYTBjOTFlNmJmNg=="
)

// Azure starts an Azure blob server for one test and returns the URL of an
// empty container in it and the server's address. It sets the test's
// connection string.
func Azure(t testing.TB) (url, address string) {
	t.Helper()
	setenv(t, "AZURITE_ACCOUNTS", AzureAccount+":"+AzureKey)
	address = start(t, "azurite", loopback, func(address string) []string {
		host, port, _ := strings.Cut(address, ":")
		return []string{"--blobHost", host, "--blobPort", port, "--inMemoryPersistence",
			"--silent", "--disableTelemetry", "--skipApiVersionCheck"}
	})
	setenv(t, "AZURE_STORAGE_CONNECTION_STRING", AzureConnection(address))
	client, err := container.NewClientFromConnectionString(AzureConnection(address), "bucket", nil)
	if err == nil {
		_, err = client.Create(t.Context(), nil)
	}
	if err != nil {
		t.Fatalf("make container: %v", err)
	}
	return "azblob://bucket", address
}

// AzureConnection returns the connection string of an Azure server's account.
func AzureConnection(address string) string {
	return fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;BlobEndpoint=http://%s/%s",
		AzureAccount, AzureKey, address, AzureAccount)
}

func setenv(t testing.TB, name, value string) {
	t.Helper()
	t.Setenv(name, value)
}

// start runs a server on a free port of an address until the test ends, and
// returns where it is once it accepts connections.
func start(t testing.TB, name, host string, args func(address string) []string) string {
	t.Helper()
	bin := Tool(t, name)
	for attempt := 1; ; attempt++ {
		address := freeAddress(t, host)
		err := run(t, bin, address, args(address))
		if err == nil {
			return address
		}
		if attempt == 3 { // somebody else may have taken the port
			t.Fatalf("start %s: %v", name, err)
		}
	}
}

func freeAddress(t testing.TB, host string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run starts a server and waits until it accepts or ends.
func run(t testing.TB, bin, address string, args []string) error {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	stop := func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			t.Cleanup(stop)
			return nil
		}
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("it ended: %s", strings.TrimSpace(out.String()))
		case <-ctx.Done():
			stop()
			return errors.Join(errors.New("it does not listen"), err)
		}
	}
}

// Tool returns the path of a tool that `make tools` builds.
func Tool(t testing.TB, name string) string {
	t.Helper()
	cache := os.Getenv("ATEOM_CACHE")
	if cache == "" {
		if home, err := os.UserCacheDir(); err == nil {
			cache = filepath.Join(home, "ateom")
		}
	}
	dirs := []string{os.Getenv("ATEOM_TOOLS"), filepath.Join(cache, "bin")}
	for _, dir := range dirs {
		if path := filepath.Join(dir, name); dir != "" && isFile(path) {
			return path
		}
	}
	t.Fatalf("no %s in %q: run `make tools`, or set ATEOM_TOOLS", name, dirs)
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
