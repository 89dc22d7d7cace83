// Translates the OTLP export on its standard input with Prometheus' own translator and prints the series.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"os"

	"github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

func main() {
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	request := pmetricotlp.NewExportRequest()
	if err := request.UnmarshalProto(body); err != nil {
		log.Fatal(err)
	}
	converter := prometheusremotewrite.NewPrometheusConverter()
	settings := prometheusremotewrite.Settings{AddMetricSuffixes: true}
	if _, err := converter.FromMetrics(context.Background(), request.Metrics(), settings); err != nil {
		log.Print(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(converter.TimeSeries()); err != nil {
		log.Fatal(err)
	}
}
