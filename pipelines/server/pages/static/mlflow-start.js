// Runs before MLflow's own pages: on a first visit they open at the registry, without promotion and without telemetry.
// A choice that the visitor has made stays. The names are those of MLflow 3.17.2.
"use strict";
const defaults = {
  "mlflow.workflowType_v1": "machine_learning",
  "mlflow.settings.telemetry.enabled_v1": false,
  "mlflow.telemetry.info.alert.dismissed_v1": true,
  "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": true,
  "mlflow.home.getting-started.collapsed_v1": true,
  "mlflow.overview.mysqlBannerDismissed_v0": true,
  "_mlflow_model_registry_promo_modal_dismissed_v1": true,
};
try {
  for (const [name, value] of Object.entries(defaults)) {
    if (localStorage.getItem(name) === null) localStorage.setItem(name, JSON.stringify(value));
  }
} catch (error) {
  // a page in a frame without storage: MLflow uses its own defaults
  console.debug("no storage for the defaults of MLflow's pages", error);
}
if (location.hash === "") location.replace("#/models");
