// Copyright The ateom Authors.
// SPDX-License-Identifier: Apache-2.0

package traces

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/ateom/ateom/shim/journal"
)

// service is the default of OTEL_SERVICE_NAME.
const service = "ateom"

// Variables of the OpenTelemetry specification that are looked at here; the
// exporters read all others (headers, certificates, time-outs) by themselves.
const (
	endpointEnv       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	tracesEndpointEnv = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	protocolEnv       = "OTEL_EXPORTER_OTLP_PROTOCOL"
	tracesProtocolEnv = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	disabledEnv       = "OTEL_SDK_DISABLED"
)

// Traces exports spans.
type Traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// New returns what exports to the endpoint in the environment, or nil if there
// is none. Close must be called.
func New(ctx context.Context, version string) (*Traces, error) {
	if os.Getenv(endpointEnv) == "" && os.Getenv(tracesEndpointEnv) == "" || os.Getenv(disabledEnv) == "true" {
		return nil, nil
	}
	client, err := newClient()
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("start OTLP exporter: %w", err)
	}
	// Later ones go over earlier ones: the environment has the last word.
	res, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", version)),
		resource.WithHost(), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe the node to OTLP: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	return &Traces{provider: provider, tracer: provider.Tracer("github.com/ateom/ateom", trace.WithInstrumentationVersion(version))}, nil
}

// newClient chooses the protocol; http/protobuf is the specification's default.
func newClient() (otlptrace.Client, error) {
	protocol := os.Getenv(tracesProtocolEnv)
	if protocol == "" {
		protocol = os.Getenv(protocolEnv)
	}
	switch protocol {
	case "", "http/protobuf":
		return otlptracehttp.NewClient(), nil
	case "grpc":
		return otlptracegrpc.NewClient(), nil
	default:
		return nil, fmt.Errorf("start OTLP exporter: %s: want http/protobuf or grpc, got %q", protocolEnv, protocol)
	}
}

// Add exports a verb. It waits for nothing: spans that the collector does not
// take in time are dropped.
func (t *Traces) Add(e *journal.Entry) {
	if t == nil {
		return
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": e.TraceParent})
	ctx, span := t.tracer.Start(ctx, e.Verb, trace.WithTimestamp(e.Start), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes(e)...))
	at := e.Start
	for _, p := range e.Phases {
		_, child := t.tracer.Start(ctx, p.Name, trace.WithTimestamp(at))
		at = at.Add(time.Duration(p.Nanos))
		child.End(trace.WithTimestamp(at))
	}
	if e.Cause != "" {
		span.SetStatus(codes.Error, e.Error)
	}
	span.End(trace.WithTimestamp(at))
}

// attributes tell of what the entry says; error.type is OpenTelemetry's name
// for the class of an error.
func attributes(e *journal.Entry) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("containerd.namespace", e.Namespace),
		attribute.String("ateom.sandbox", e.Sandbox),
	}
	for key, value := range map[string]string{
		"error.type": e.Cause, "ateom.snapshot": e.Snapshot, "ateom.scope": e.Scope, "ateom.store": e.Store,
	} {
		if value != "" {
			all = append(all, attribute.String(key, value))
		}
	}
	for key, value := range map[string]int64{"ateom.snapshot.bytes": e.Bytes, "ateom.sent.bytes": e.Sent} {
		if value != 0 {
			all = append(all, attribute.Int64(key, value))
		}
	}
	return all
}

// Close exports what is left, as far as ctx allows.
func (t *Traces) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("export the last spans: %w", err)
	}
	return nil
}
