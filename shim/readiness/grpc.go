// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package readiness

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"google.golang.org/protobuf/encoding/protowire"
)

// healthCheck is the method of grpc.health.v1 that kubelet calls too.
const healthCheck = "/grpc.health.v1.Health/Check"

// Fields of grpc.health.v1's messages, and the value that means ready.
const (
	fieldService = 1 // HealthCheckRequest.service, a string
	fieldStatus  = 1 // HealthCheckResponse.status, an enum
	serving      = 1
)

// servingNames are the other values of HealthCheckResponse.ServingStatus.
var servingNames = map[uint64]string{0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}

// frameHeader is the length of what gRPC puts before each message: a byte that
// says whether it is compressed, and its length.
const frameHeader = 5

// grpcCheck asks the health service, in plain text as kubelet does. One unary
// call is a POST over HTTP/2, which net/http speaks; a gRPC library would be
// linked into the shim for this alone.
func grpcCheck(ctx context.Context, a *GRPCAction, target Target) error {
	message := protowire.AppendTag(nil, fieldService, protowire.BytesType)
	message = protowire.AppendString(message, a.Service)
	frame := binary.BigEndian.AppendUint32(make([]byte, 1), uint32(len(message)))
	frame = append(frame, message...)

	u := &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", a.Port), Path: healthCheck}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(frame))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	req.Header.Set("User-Agent", userAgent)

	transport := newTransport(target, a.Port)
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return notYet("status %s", resp.Status)
	}
	// A call that fails at once has its status among the headers.
	code, text := resp.Trailer.Get("Grpc-Status"), resp.Trailer.Get("Grpc-Message")
	if code == "" {
		code, text = resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message")
	}
	switch code {
	case "0":
	case "":
		return errors.New("the answer has no gRPC status: is it a gRPC server?")
	case "5":
		return notYet("the health service does not know service %q", a.Service)
	case "12":
		return notYet("the server has no health service (grpc.health.v1)")
	default:
		return notYet("gRPC status %s %s", code, text)
	}
	status, err := servingStatus(body)
	if err != nil {
		return err
	}
	if status == serving {
		return nil
	}
	if name := servingNames[status]; name != "" {
		return notYet("service %q is %s", a.Service, name)
	}
	return notYet("service %q has status %d", a.Service, status)
}

// servingStatus reads the status out of a frame with a HealthCheckResponse. An
// absent field is 0.
func servingStatus(frame []byte) (uint64, error) {
	if len(frame) < frameHeader || frame[0] != 0 || uint64(binary.BigEndian.Uint32(frame[1:])) != uint64(len(frame)-frameHeader) {
		return 0, errors.New("the answer is no gRPC message")
	}
	var status uint64
	for b := frame[frameHeader:]; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, fmt.Errorf("decode answer: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if number == fieldStatus && kind == protowire.VarintType {
			status, n = protowire.ConsumeVarint(b)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return 0, fmt.Errorf("decode answer: %w", protowire.ParseError(n))
		}
		b = b[n:]
	}
	return status, nil
}
