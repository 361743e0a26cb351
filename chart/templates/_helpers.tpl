{{- /* An image as a container names it. The tag of the release is no default in values.yaml, because an upgrade with
--reuse-values would keep the old one. A digest says more than a tag, so that it goes before. */ -}}
{{- define "region-tick.image" -}}
{{- with .image.digest -}}
{{ printf "%s@%s" $.image.repository . | quote }}
{{- else -}}
{{ printf "%s:%s" .image.repository (.image.tag | default .chart.AppVersion) | quote }}
{{- end -}}
{{- end -}}

{{- /* The settings as environment variables. Whoever has the RegionScheduler in the chart wants none from the operator.
toJson, because Helm writes a large number as 1e+06 otherwise. */ -}}
{{- define "region-tick.settings" -}}
{{- $given := .Values.regionScheduler.create | ternary (dict "BOOTSTRAP" false) dict -}}
{{- range $name, $value := merge (dict) .Values.operator.settings $given }}
- {name: {{ $name }}, value: {{ toJson $value | trimAll "\"" | quote }}}
{{- end -}}
{{- end -}}
