"""What Prometheus makes of exports of OpenTelemetry, recorded."""
